"""Parameters of a clusterer, read and changed as those of scikit-learn's estimators are."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from mlreco.errors import UserError, nearest

C = TypeVar("C", bound="Parameters")


class Parameters:
    """Gives ``get_params`` and ``set_params`` to a class that keeps the arguments of its constructor as attributes.

    `sklearn.base.clone` and searches over parameters work with it.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments of the constructor by name.

        Args:
            deep: without effect: no argument has parameters of its own.
        """
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self: C, **parameters: Any) -> C:
        """Change arguments and return the object itself; where one is refused, none is changed.

        Raises:
            UserError: no argument of that name, or a value that the constructor refuses.
        """
        known = self.get_params()
        for name in parameters:
            if name not in known:
                raise UserError(f"{type(self).__name__} has no parameter '{name}'{nearest(name, known)}")
        self.__dict__ = type(self)(**{**known, **parameters}).__dict__
        return self

    def __repr__(self) -> str:
        defaults = {name: one.default for name, one in inspect.signature(type(self)).parameters.items()}
        changed = {name: value for name, value in self.get_params().items() if value != defaults[name]}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in changed.items())})"
