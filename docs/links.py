"""Does every link of the built site lead somewhere? ``python docs/links.py docs/_build/html``."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LINKS = {"href", "src"}


class Page(HTMLParser):
    """What a page links to, and the places in it that can be linked to."""

    def __init__(self, text):
        super().__init__()
        self.links, self.places = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in LINKS and value:
                self.links.append(value)
            if name == "id" or (tag == "a" and name == "name"):
                self.places.add(value)


def broken(site):
    """Pairs of a page and a link in it that leads nowhere; addresses of others are not asked."""
    own = (path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts)  # theme's
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in own}
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            target = target / "index.html" if target.is_dir() else target
            place = unquote(parts.fragment)
            missing = place and target in pages and place not in pages[target].places
            if not target.exists() or missing:
                yield path.relative_to(site), link


def main(folder):
    """Print what is broken; the number of links decides the exit status."""
    site = Path(folder).resolve()
    found = sorted(set(broken(site)))
    for page, link in found:
        print(f"{page}: {link}")
    pages = len(list(site.rglob("*.html")))
    print(f"{len(found)} broken links on {pages} pages of {folder}")
    return min(len(found), 1) if pages else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
