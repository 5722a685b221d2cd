"""The page of a report: what of runs it shows, as tables, plots, pictures, and then as HTML."""
