"""The page of a run: one HTML file that shows everything and needs nothing else, no network above all."""
