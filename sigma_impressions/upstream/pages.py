"""Which page of its workbook an element is on, asked page by page: the list of all elements does not say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sigma_impressions.errors import SigmaRefused
from sigma_impressions.upstream.answers import check_count, text
from sigma_impressions.upstream.sigma_api import SigmaApi, path_of


class Element(NamedTuple):
    """An element of a workbook or data model, with its page as far as it is known."""

    workbook_url_id: str
    element_id: str | None
    element_name: str | None
    page_id: str | None = None
    page_name: str | None = None


@dataclass
class Pages:
    """Puts elements on their pages; `requests` are what that has cost, `refused` why pages could not be read."""

    api: SigmaApi
    requests: int = 0
    refused: list[str] = field(default_factory=list)

    async def placed(self, workbook_id: str, elements: Sequence[Element]) -> Sequence[Element]:
        """The elements with their pages. Nothing is asked if all have one; what is refused leaves them without."""
        if all(element.page_id and element.page_name for element in elements):
            return elements
        try:
            names, of_element = await self._read(workbook_id)
        except SigmaRefused as refused:
            if refused.status == 401:
                raise
            self.refused.append(str(refused))
            return elements
        return [_on(element, of_element, names) for element in elements]

    async def _read(self, workbook_id: str) -> tuple[Mapping[str, str | None], Mapping[str, str]]:
        """The names of the pages by their ID, and the page of each element; of several the first."""
        names: dict[str, str | None] = {}
        of_element: dict[str, str] = {}
        async for page in self.api.entries(path_of("workbooks", workbook_id, "pages")):
            self.requests += 1
            names.update((page_id, text(entry, "name")) for entry in page if (page_id := text(entry, "pageId")))
            check_count(len(names))
        for page_id in names:
            async for page in self.api.entries(path_of("workbooks", workbook_id, "pages", page_id, "elements")):
                self.requests += 1
                for entry in page:
                    of_element.setdefault(str(text(entry, "elementId")), page_id)
                check_count(len(of_element))
        return names, of_element

    @property
    def notes(self) -> list[str]:
        """What there is to say of pages that could not be read."""
        if not self.refused:
            return []
        return [
            f"The pages of {len(self.refused)} workbooks could not be read, of one of them because of this: "
            f"{self.refused[0]}"
        ]


def _on(element: Element, of_element: Mapping[str, str], names: Mapping[str, str | None]) -> Element:
    page_id = element.page_id or of_element.get(str(element.element_id))
    return element._replace(page_id=page_id, page_name=element.page_name or names.get(str(page_id)))
