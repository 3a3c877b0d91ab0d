"""A student learns from a tagging run's rows: the distributions that a bundle gave to the words of a crawl."""
