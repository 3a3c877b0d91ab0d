"""The first way to learn: masked words, in text and in translations, with word vectors counted to start from."""
