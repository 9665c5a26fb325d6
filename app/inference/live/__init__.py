"""The live catalogue while a version serves: columns of all live items, and a view per version."""
