"""Where a mesh's documents are in Consul KV.

meshc/v1/<mesh>/specs/<name>               a document as it was written; `mesh` is mesh.yaml
meshc/v1/<mesh>/specs-revision             what counts: a number, and perhaps a stage
meshc/v1/<mesh>/specs-staged/<id>/<name>   a change that is too large for one transaction
"""

from __future__ import annotations

from dataclasses import dataclass

from meshc.diagnostics.names import is_name


@dataclass(frozen=True, slots=True)
class StoreKeys:
    """The keys of one mesh; its name has been checked."""

    mesh: str

    @property
    def everything(self) -> str:
        """Prefix of all keys below, so that one request reads them as they are at one moment."""
        return f"meshc/v1/{self.mesh}/specs"

    @property
    def revision(self) -> str:
        """Moves with every change; all changes are fenced by its index."""
        return f"{self.everything}-revision"

    def document(self, name: str) -> str:
        """Key of a document."""
        return f"{self.everything}/{_checked(name)}"

    def staged(self, stage: str, name: str) -> str:
        """Key of a document in a stage."""
        return f"{self.everything}-staged/{_checked(stage)}/{_checked(name)}"

    def document_of(self, key: str) -> str | None:
        """Return what follows the folder of documents, None for a key elsewhere."""
        folder, _, rest = key.partition(f"{self.everything}/")
        return rest if not folder and rest else None

    def stage_of(self, key: str) -> tuple[str, str] | None:
        """Return stage and document of a staged key, None for any other key."""
        folder, _, rest = key.partition(f"{self.everything}-staged/")
        stage, _, name = rest.partition("/")
        return None if folder or not stage or not name else (stage, name)


def _checked(name: str) -> str:
    if not is_name(name):  # everybody has asked before
        raise AssertionError(name)
    return name
