"""What a run did, for people: sums, estimates, pages, cards. Only jobs know of it."""
