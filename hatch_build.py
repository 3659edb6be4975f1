"""Build hook: compile the C kernel of the tabular wing into the wheel."""

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class KernelBuildHook(BuildHookInterface):
    """Placeholder until the kernel's sources exist."""
