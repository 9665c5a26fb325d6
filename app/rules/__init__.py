"""Fields of requests that filter and reorder an answer, and their defaults that are stored under a name."""
