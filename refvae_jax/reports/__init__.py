"""Reports: tables, curves and comparisons of many runs, and a sheet of a data set."""
