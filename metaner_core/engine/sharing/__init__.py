"""Work on source sentences that many support sets share: the order of the sets, and what is kept meanwhile."""
