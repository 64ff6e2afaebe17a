"""One step of a method, for any number of stacked seeds, and its replay."""
