"""`nextup publish`: copy an artifact into the model repository and activate it in a running service.

The copy is in `app/model_repository/publish.py`; the service swaps models without dropping a request.
"""

import json
import sys
from pathlib import Path

from app.cli.running_service import ADDRESS_SETTINGS, ActivationResult, NotRunning, RunningService, find_service
from app.commands.options.publish import PublishOptions
from app.environment import load_settings
from app.model_repository.publish import add_version, check_verdict, remove_old_versions
from app.model_repository.repository import ModelRepository
from app.settings import Settings


def run(arguments: PublishOptions) -> int:
    settings = load_settings(("artifact", *ADDRESS_SETTINGS))
    service = find_service(settings, url=arguments.url, key=arguments.key)
    folder, is_served = _choose_folder(arguments, settings, service)
    if not arguments.force and (note := check_verdict(folder, arguments.artifact)) is not None:
        print(note, file=sys.stderr)
    stored, is_new = add_version(folder, arguments.artifact)
    print(f"version {stored.version} {'copied to' if is_new else 'already in'} {stored.folder}", file=sys.stderr)
    if is_served:
        activation = service.activate(stored.version, arguments.wait)
        print(f"{service.name} now serves version {stored.version}", file=sys.stderr)
    else:
        activation = _set_target_version(folder, stored.version)
        print("the next service that serves this folder starts with this version", file=sys.stderr)
    versions = (activation["active"], activation["target_version"], activation["previous"])
    in_use = {version for version in versions if version is not None}
    removed = [] if arguments.keep is None else remove_old_versions(folder, arguments.keep, in_use)
    print(json.dumps({"version": stored.version, "folder": str(stored.folder), **activation, "removed": removed}))
    return 0


def _choose_folder(arguments: PublishOptions, settings: Settings, service: RunningService) -> tuple[Path, bool]:
    """Return the repository to copy into, which a running service itself names, and whether to activate there.

    ValueError, before anything is copied, if the version could not be activated in the service at --url.
    """
    try:
        served = service.read_repository()
    except NotRunning as error:
        if arguments.url is not None:
            raise ValueError(f"{error}; nothing was copied, check --url and start the service") from None
        return arguments.into or settings.artifact, False
    if served is None:
        return arguments.into or settings.artifact, True
    if arguments.into is None:
        if not served.is_dir():
            raise ValueError(
                f"{service.name} serves {served}, which is not a folder of this machine; name the same folder as this "
                "machine sees it with --into"
            )
        return served, True
    # In a container the same folder has another name; one that exists here as well is another folder.
    if not served.is_dir() or (arguments.into.is_dir() and served.samefile(arguments.into)):
        return arguments.into, True
    if arguments.url is not None:
        raise ValueError(f"{service.name} serves {served}, not --into {arguments.into}; leave out --into or --url")
    print(f"{service.name} serves another folder, {served}, and is not changed", file=sys.stderr)
    return arguments.into, False


def _set_target_version(folder: Path, version: str) -> ActivationResult:
    repository = ModelRepository(folder)
    previous = repository.get_target_version()
    repository.set_target_version(version)
    return {"active": None, "target_version": version, "previous": previous}
