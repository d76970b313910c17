"""What `mlops platform` does when it is called."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from mlops.account import Account, explained, open_account, say_which
from mlops.arguments import SIZES
from mlops.display import Display, print_json
from mlops.errors import DeploymentFailed, InputError, MlopsError
from mlops.platform.deployment import DeployOptions, StackPlan, deploy_stack, plan_stacks
from mlops.platform.image_builds import build_images
from mlops.platform.image_sources import IMAGES as IMAGE_SOURCES
from mlops.platform.laptop import find_tracking_uri, publish_image, require_local
from mlops.platform.settings import (
    Settings,
    keeping_settings,
    read_settings,
    size_file,
    with_parameters,
)
from mlops.platform.stacks import IMAGES, LAPTOP, MANAGED, MLFLOW, PLATFORM, find_stack
from mlops.platform.status import read_status, show_status
from mlops.platform.teardown import TeardownOptions, plan_teardown, show_teardown, tear_down

logger = logging.getLogger(__name__)
_PROJECTS_FIRST = 'Delete these first, endpoints before projects: docs/aws.md, "Taking it down".'


def deploy(args: argparse.Namespace) -> int:
    display = Display.of(args)
    if not (args.yes or args.dry_run or display.interactive):
        raise InputError(
            "there is no terminal to ask on; look at the changes by --dry-run, "
            "then pass --yes to make them unasked"
        )
    options = DeployOptions(
        dry_run=args.dry_run,
        yes=args.yes,
        accept_data_loss=args.accept_data_loss,
        import_existing=args.import_existing,
        template_bucket=args.template_bucket,
    )
    settings = _given_settings(args)
    account = open_account(args.region or (settings.region if settings else None), args.profile)
    if settings is None:
        settings = keeping_settings(args.stacks or _existing(account))
    settings = with_parameters(settings, args.parameters)
    keys = args.stacks or list(settings.stacks)
    absent = [key for key in keys if key not in settings.stacks]
    if absent:
        raise InputError(f"{settings.source} has no stack {', '.join(absent)}; add it there")
    say_which(account)
    deployment = deploy_platform(
        account, settings, keys, options, display, rebuild_images=args.rebuild_images
    )
    if args.json:
        print_json(
            {
                "stacks": [
                    {"name": name, "changed": changed}
                    for name, changed in deployment.stacks.items()
                ],
                "images": deployment.images,
            }
        )
    return deployment.exit_code


@dataclass
class PlatformDeployment:
    """What became of each stack, by name; images by their part; the first failure's exit code."""

    stacks: dict[str, bool] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    exit_code: int = 0


def deploy_platform(
    account: Account,
    settings: Settings,
    keys: Sequence[str],
    options: DeployOptions,
    display: Display,
    *,
    rebuild_images: bool = False,
) -> PlatformDeployment:
    """Bring these stacks of the settings up to date, in order, and make the images they need.

    Raises MlopsError where one fails; those before it stay. A dry run goes on to the next.
    """
    done = PlatformDeployment()
    if LAPTOP.key in keys:
        require_local(account)
        settings = _with_tracking_uri(account, settings)
    for plan in plan_stacks(account, settings, keys):
        if options.dry_run:
            code = _dry_run(account, plan, options, display)
            done.exit_code = done.exit_code or code
            continue
        done.stacks[plan.name] = deploy_stack(account, plan, options, display)
        if plan.kind == IMAGES:
            done.images |= _build_images(account, settings, force=rebuild_images, display=display)
        if plan.kind == LAPTOP:
            stack = find_stack(account.client("cloudformation"), plan.name)
            assert stack is not None, "it has just been deployed"
            address = publish_image(account, stack.outputs["RepositoryName"])
            display.result(f"inference image: {address}")
            done.images["inference"] = address
    return done


def _with_tracking_uri(account: Account, settings: Settings) -> Settings:
    """The settings, MLflow's address filled in where neither they nor the stack name one."""
    named = "TrackingUri" in settings.stacks[LAPTOP.key]
    deployed = find_stack(account.client("cloudformation"), LAPTOP.name)
    if named or (deployed is not None and not settings.complete):
        return settings
    uri = find_tracking_uri(account, dict(os.environ))
    return with_parameters(settings, [f"{LAPTOP.key}.TrackingUri={uri}"])


def _dry_run(account: Account, plan: StackPlan, options: DeployOptions, display: Display) -> int:
    """Its exit code: a stack that can not be changed does not end the look at the others."""
    try:
        deploy_stack(account, plan, options, display)
    except MlopsError as err:
        failure = err
    except (ClientError, BotoCoreError) as err:
        failure = explained(err)
    else:
        return 0
    display.result(f"{plan.name}: no change set")
    logger.error("error: %s", failure)
    return failure.exit_code


def _build_images(
    account: Account, settings: Settings, *, force: bool, display: Display
) -> dict[str, str]:
    # Managed MLflow runs no server of ours.
    managed = MANAGED.key in settings.stacks or (
        MLFLOW.key not in settings.stacks
        and find_stack(account.client("cloudformation"), MANAGED.name) is not None
    )
    needed = ["inference"] if managed else list(IMAGE_SOURCES)
    built = build_images(account.client, report=display.say, images=needed, force=force)
    for name, address in built.items():
        display.result(f"{name} image: {address}")
    return dict(built)


def _given_settings(args: argparse.Namespace) -> Settings | None:
    if args.settings is not None:
        return read_settings(args.settings)
    return None if args.size is None else read_settings(size_file(args.size))


def _existing(account: Account) -> list[str]:
    cloudformation = account.client("cloudformation")
    found = [kind.key for kind in PLATFORM if find_stack(cloudformation, kind.name)]
    if not found:
        raise InputError(
            f"nothing is deployed in {account.id}, {account.region} yet; "
            f"say what to deploy by --size ({', '.join(SIZES)}) or --settings FILE"
        )
    return found


def examine_account(args: argparse.Namespace) -> int:
    from mlops.platform.doctor.command import run

    # Without credentials there is no account to name; the doctor says more about that.
    with contextlib.suppress(MlopsError):
        say_which(open_account(args.region, args.profile))
    return run(args)


def status(args: argparse.Namespace) -> int:
    account = open_account(args.region, args.profile)
    say_which(account)
    found = read_status(account)
    show_status(found, Display(), as_json=args.json)
    return 3 if found.problems else 0


def teardown(args: argparse.Namespace) -> int:
    display = Display.of(args)
    if not (args.yes or args.dry_run or display.interactive):
        raise InputError(
            "there is no terminal to ask on; look at what would go by --dry-run, "
            "then pass --yes to delete it unasked"
        )
    account = open_account(args.region, args.profile)
    options = TeardownOptions(
        yes=args.yes, delete_data=args.delete_data, yes_delete_data=args.yes_delete_data
    )
    say_which(account)
    plan = plan_teardown(account, args.stacks)
    show_teardown(plan, options, display)
    if not args.dry_run:
        if plan.blockers:
            raise DeploymentFailed("the platform is in use:", plan.blockers, [_PROJECTS_FIRST])
        tear_down(account, plan, options, display)
    if args.json:
        names = [each.stack.name for each in plan.stacks]
        print_json(
            {"stacks": names, "deleted": not args.dry_run, "in_the_way": list(plan.blockers)}
        )
    return 0
