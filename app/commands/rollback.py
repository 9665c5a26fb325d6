"""`nextup rollback`: serve the previous version again.

A service that still has it in memory switches without loading it.
"""

import json
import sys

from app.cli.running_service import ADDRESS_SETTINGS, NotRunning, find_service
from app.commands.options.rollback import RollbackOptions
from app.environment import load_settings
from app.model_repository.repository import ModelRepository


def run(arguments: RollbackOptions) -> int:
    settings = load_settings(("artifact", *ADDRESS_SETTINGS))
    service = find_service(settings, url=arguments.url, key=arguments.key)
    try:
        versions = service.read_versions()
    except NotRunning as error:
        if arguments.url is not None:
            raise ValueError(f"{error}; check --url and start the service") from None
        repository = ModelRepository(settings.artifact)
        target, previous = repository.get_target_version(), repository.get_previous_version()
        if previous is None or repository.find(previous) is None:
            raise ValueError(f"{settings.artifact} has no previous version; nothing was changed") from None
        repository.set_target_version(previous)
        print(
            f"no service answers at {service.name}; name another address with --url\n"
            f"the next service that serves {settings.artifact} starts with version {previous}",
            file=sys.stderr,
        )
        print(json.dumps({"active": None, "target_version": previous, "previous": target}))
        return 0
    previous = versions.get("previous_version")
    if previous is None:
        raise ValueError(f"{service.name} has no previous version; nothing was changed")
    activation = service.activate(previous, arguments.wait)
    print(f"{service.name} now serves version {previous}", file=sys.stderr)
    print(json.dumps(activation))
    return 0
