"""Sigma Impressions."""

from typing import Any

__all__ = ["SigmaImpressionsComponent"]


def __getattr__(name: str) -> Any:
    # Dagster is imported only for those who ask for the component: the command line answers sooner without it.
    if name == "SigmaImpressionsComponent":
        from sigma_impressions.defs.component import SigmaImpressionsComponent

        return SigmaImpressionsComponent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
