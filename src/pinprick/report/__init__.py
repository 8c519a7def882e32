"""The report: one HTML file of one or several runs, and its figures as files."""
