"""Code of the client from the OpenAPI document of the service; not part of the distribution."""
