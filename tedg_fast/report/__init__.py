"""Reports on runs: series from run folders → statistics, tables, figures, one HTML page."""
