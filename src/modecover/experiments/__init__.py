"""Declared runs: what is compared, on which data, with which settings; and the one way they are all run."""
