"""Learning the dictionaries of several layers jointly; parts named as those of `csc.learning`."""
