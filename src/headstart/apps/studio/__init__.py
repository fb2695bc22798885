"""The studio: look, label, correct and retrain in the browser. The HTTP interface, and the page beside it."""
