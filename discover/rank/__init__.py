"""Rankings of rules over tasks: several aggregations side by side, intervals, performance profiles, and the page."""
