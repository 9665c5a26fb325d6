"""`nextup publish`: copy an artifact into the model repository and activate it in a running service.

The copy is in `app/model_repository/publish.py`; the service swaps models without dropping a request.
"""

import json
import sys
from contextlib import nullcontext
from pathlib import Path

from app.cli.running_service import ADDRESS_SETTINGS, ActivationResult, NotRunning, RunningService, find_service
from app.commands.options.publish import PublishOptions
from app.commands.shadow_trial import check_shadow_options, try_as_shadow
from app.environment import load_settings
from app.model_repository.publish import add_version, check_verdict, remove_old_versions
from app.model_repository.repository import ModelRepository
from app.settings import Settings
from models.artifact import load_artifact


def run(arguments: PublishOptions) -> int:
    settings = load_settings(("artifact", *ADDRESS_SETTINGS))
    service = find_service(settings, url=arguments.url, key=arguments.key)
    folder, is_served = _choose_folder(arguments, settings, service)
    check_shadow_options(arguments, is_served=is_served)
    if not arguments.force and (note := check_verdict(folder, arguments.artifact)) is not None:
        print(note, file=sys.stderr)
    stored, is_new = add_version(
        folder, arguments.artifact, check=lambda copy: load_artifact(copy, device="cpu", source=arguments.artifact)
    )
    print(f"version {stored.version} {'copied to' if is_new else 'already in'} {stored.folder}", file=sys.stderr)
    activation = _activate(arguments, folder, stored.version, service if is_served else None)
    versions = (stored.version, activation["active"], activation["target_version"], activation["previous"])
    in_use = {version for version in versions if version is not None}
    removed = []
    if arguments.keep is not None:
        in_use |= service.list_variant_versions() if is_served else set()
        removed = remove_old_versions(folder, arguments.keep, in_use)
    print(json.dumps({"version": stored.version, "folder": str(stored.folder), **activation, "removed": removed}))
    return 0


def _activate(
    arguments: PublishOptions, folder: Path, version: str, service: RunningService | None
) -> ActivationResult:
    """Activate the version after its trial, in the service if there is one; with --inactive, only describe the rest."""
    repository = ModelRepository(folder)
    if service is None and not arguments.inactive:
        print("the next service that serves this folder starts with this version", file=sys.stderr)
        return _set_target_version(repository, version)
    with nullcontext() if service is None else try_as_shadow(service, version, arguments):
        if service is not None and not arguments.inactive:
            activation = service.activate(version, arguments.wait)
            print(f"{service.name} now serves version {version}", file=sys.stderr)
            return activation
    print(f"version {version} is not activated; `nextup publish` or an experiment does so", file=sys.stderr)
    active = None if service is None else service.read_versions()["active"]
    target, previous = repository.get_target_version(), repository.get_previous_version()
    return {"active": active, "target_version": target, "previous": previous}


def _choose_folder(arguments: PublishOptions, settings: Settings, service: RunningService) -> tuple[Path, bool]:
    """Return the repository to copy into, which a running service itself names, and whether to activate there.

    ValueError, before anything is copied, if the version could not be activated in the service at --url.
    """
    try:
        served = service.read_repository()
    except NotRunning as error:
        if arguments.url is not None:
            raise ValueError(f"{error}; nothing was copied, check --url and start the service") from None
        print(f"no service answers at {service.name}; name another address with --url", file=sys.stderr)
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


def _set_target_version(repository: ModelRepository, version: str) -> ActivationResult:
    repository.set_target_version(version)
    return {"active": None, "target_version": version, "previous": repository.get_previous_version()}
