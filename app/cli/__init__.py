"""Parts of the command line that commands and benchmarks share."""
