"""Semantic classes of voxels: an enumeration per numbering scheme, always addressed by name."""

from __future__ import annotations

from dataclasses import dataclass

from mlreco.errors import UserError, nearest


@dataclass(frozen=True)
class ClassScheme:
    """A numbering of semantic classes.

    Attributes:
        name: name of the scheme in configurations and output files.
        classes: class names; the position of a name is the number stored in files.
    """

    name: str
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.classes)

    def number(self, class_name: str) -> int:
        """Return the number of a class.

        Raises:
            UserError: the scheme has no class of that name.
        """
        if class_name not in self.classes:
            hint = nearest(class_name, self.classes)
            raise UserError(f"class scheme '{self.name}' has no class '{class_name}'{hint}")
        return self.classes.index(class_name)


PILARNET = ClassScheme("pilarnet", ("HIP", "MIP", "Shower", "Delta", "Michel"))
MLRECO = ClassScheme("mlreco", ("Shower", "Track", "Michel", "Delta", "LowE"))
SCHEMES = {scheme.name: scheme for scheme in (PILARNET, MLRECO)}
UNKNOWN = -1
"""Number of a voxel whose class is not known, and of a voxel without an instance."""


def class_scheme(name: str) -> ClassScheme:
    """Return the scheme of that name.

    Raises:
        UserError: no such scheme.
    """
    if name not in SCHEMES:
        raise UserError(f"no class scheme '{name}'{nearest(name, SCHEMES)}")
    return SCHEMES[name]
