"""From a card and weights to what Triton serves."""

from pellucid.export.errors import ExportError
from pellucid.export.folder import export_model, is_current, model_folders

__all__ = ["ExportError", "export_model", "is_current", "model_folders"]
