"""The whole benchmark: every data set, method and seed trained for one budget, one after another, and one table of it all."""
