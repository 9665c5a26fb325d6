"""Items that the model was not trained on: placed by the live catalogue, and searched with the model's items."""
