"""Documents without a model: what they are, their language, sentences and rules, the rows they end as."""
