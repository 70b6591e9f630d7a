"""The admin API of groups: what they share, and what they get."""

from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, HTTPException, Path as InPath, Response

from penstock.admin_changes import (
    BODY_REFUSALS,
    DROP_REFUSALS,
    SPEC_FIELDS,
    changed,
    dropped,
)
from penstock.admin_clients import IfMatch
from penstock.admin_models import (
    GroupChanged,
    GroupDetail,
    GroupDropped,
    GroupName,
    GroupSpec,
    GroupsView,
    GroupView,
    Reason,
)
from penstock.admin_versions import etag, require_version
from penstock.admin_views import allowance_fields, group_view
from penstock.control import Control

if TYPE_CHECKING:
    from penstock._engine import GroupRow

_PATH = "/groups/{name:path}"
NameInPath = Annotated[GroupName, InPath()]


def add_groups(app: FastAPI, control: Control) -> None:
    def view(row: "GroupRow") -> GroupView:
        return group_view(row, control.source_of_group(row.name))

    @app.get("/groups")
    async def groups(response: Response) -> GroupsView:
        response.headers.update(etag(control.version))
        rows = control.clients.groups()
        return GroupsView(
            groups=[view(row) for row in rows], config_version=control.version
        )

    @app.get(_PATH, responses={404: {"model": Reason}})
    async def group(name: NameInPath, response: Response) -> GroupDetail:
        row = next((row for row in control.clients.groups() if row.name == name), None)
        if row is None:
            raise HTTPException(404, f"there is no group {name!r}")
        response.headers.update(etag(control.version))
        return GroupDetail(**dict(view(row)), config_version=control.version)

    _add_changes(app, control)


def _add_changes(app: FastAPI, control: Control) -> None:
    @app.put(_PATH, responses=BODY_REFUSALS)
    async def set_group(
        name: NameInPath, said: GroupSpec, response: Response, if_match: IfMatch = None
    ) -> GroupChanged:
        """All that is said of it; what is left out has its default."""
        require_version(if_match, control.version)
        version = changed(
            lambda: control.set_group(name, said.spec()), ("groups", name), SPEC_FIELDS
        )
        response.headers.update(etag(version))
        holds = control.tree.group(name)
        return GroupChanged(
            name=name, **allowance_fields(holds), config_version=version
        )

    @app.delete(_PATH, responses=DROP_REFUSALS)
    async def drop_group(
        name: NameInPath, response: Response, if_match: IfMatch = None
    ) -> GroupDropped:
        """Take back what this API said: what the file says holds again, or nothing."""
        require_version(if_match, control.version)
        version = dropped(lambda: control.drop_group(name), f"the group {name!r}")
        response.headers.update(etag(version))
        return GroupDropped(name=name, config_version=version)
