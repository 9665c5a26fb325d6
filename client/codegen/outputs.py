"""The generated files of the client, by their paths in `client`."""

from pathlib import Path

from app.main import create_app
from app.settings import Settings
from codegen.document import Document
from codegen.python_models import write_models, write_requests
from codegen.python_operations import write_operations, write_routes
from codegen.typescript import write_declarations


def read_document() -> Document:
    """Build the OpenAPI document of a service with default settings."""
    return Document(create_app(Settings(artifact=Path("unused"))).openapi())


def build_files(document: Document) -> dict[str, str]:
    return {
        "nextup/models.py": write_models(document),
        "nextup/requests.py": write_requests(document),
        "nextup/routes.py": write_routes(document),
        "nextup/operations.py": write_operations(document, is_async=False),
        "nextup/async_operations.py": write_operations(document, is_async=True),
        "typescript/nextup.d.ts": write_declarations(document),
    }
