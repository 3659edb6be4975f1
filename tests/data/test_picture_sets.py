import subprocess
import sys

import pytest

from assay.data.emoji_packs import VENDORS
from assay.data.picture_sets import PICTURE_SETS

EVERY = [one for entry in PICTURE_SETS.values() for one in (entry, *entry.parts)]


@pytest.mark.parametrize("entry", EVERY, ids=lambda entry: entry.name)
def test_every_entry_says_what_it_is_and_whose(entry):
    assert entry.about
    assert entry.images > 0
    assert entry.licence
    assert entry.attribution
    assert entry.source.startswith(("npm: ", "Debian: "))


def test_all_nine_packs_are_listed_with_their_licences():
    parts = PICTURE_SETS["emoji"].parts
    assert [(part.name, part.licence) for part in parts] == [
        (f"emoji/{key}", vendor.licence) for key, vendor in VENDORS.items()
    ]
    assert len(parts) == 9
    assert PICTURE_SETS["emoji"].images == 23_741


def test_listing_imports_nothing_heavy():
    script = (
        "import sys, assay.data.picture_sets as p; print(*{'PIL', 'pyarrow', 'resvg_py'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""
