"""`assay search`: the pictures that fit a text, by a saved model of images and texts."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from assay.app.command import Command, option, require_folder_of

if TYPE_CHECKING:
    from assay.image_text.model import Searcher


@dataclass(kw_only=True)
class Search(Command):
    """Find the pictures that fit a text, with a model of images and texts."""

    model: Annotated[Positional[Path], arg(metavar="MODEL")]
    """Folder that `assay fit` wrote, of a finished trial, or of a CLIP or SigLIP from Hugging Face's hub."""
    text: Annotated[Positional[str], arg(metavar="TEXT")]
    """What to look for."""
    data: Annotated[str | None, option("FILE", "the pictures that the model kept")] = None
    """Pictures to search: a folder of them, or pairs."""
    policy: Literal["refuse", "skip"] = "refuse"
    """What is done with a picture that cannot be used: refuse the data, or skip and count it."""
    k: Annotated[int, arg(name="top")] = 10
    """How many pictures."""
    sheet: Annotated[Path, option("FILE", "search.png")] = Path("search.png")
    """A PNG with the pictures found."""

    def run(self) -> int:
        """0."""
        from assay.app.terminal import Waiting, console, say, table
        from assay.core.files import write_bytes
        from assay.data.pairs import read_gallery
        from assay.data.pictures import encode_png
        from assay.image_text.figures import contact_sheet

        if self.k < 1:
            raise ValueError(f"--top: expected at least 1, got {self.k}")
        if not self.text.strip():
            raise ValueError("expected a text to look for, got an empty one")
        if self.sheet.suffix.lower() != ".png":
            raise ValueError(f"--sheet {self.sheet}: expected a file that ends in .png")
        require_folder_of(self.sheet, "--sheet")
        with Waiting(f"searching {self.model}"):
            model = searcher(self.model)
            gallery = model.gallery if self.data is None else read_gallery(self.data, policy=self.policy)
            found = model.search(self.text, self.k, gallery)
            assert gallery is not None  # Otherwise nothing could be searched.
            picture = encode_png(contact_sheet(gallery, [one.index for one in found]))
        rows = table("", "similarity", "what it is called")
        for place, one in enumerate(found, 1):
            rows.add_row(str(place), f"{one.similarity:.3f}", one.text)
        console().print(rows)
        write_bytes(self.sheet, picture)
        for note in gallery.notes if self.data is not None else ():
            say(f"{gallery.name}: {note}")
        say(f"pictures: {self.sheet}")
        return 0


def searcher(folder: Path) -> "Searcher":
    """The model of images and texts in a folder.

    Raises:
        ValueError: there is none.
    """
    from assay.image_text.task import task

    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder")
    inner = folder / "model"
    return task.load_model(inner if inner.is_dir() else folder)
