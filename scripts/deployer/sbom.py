"""The software bill of materials of the functions, as CycloneDX: their code, their layers, and AWS's runtime.

It lists each file and each library with its SHA-256, has no date, and derives its serial number from its content, so
that the same sources give the same bytes. Packaging uploads it with the templates; ``python -m
scripts.deployer.cli.sbom FILE`` writes it to a file, or to standard output. https://cyclonedx.org/docs/1.6/json/
"""

import hashlib
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from scripts.common.errors import UserError
from stacks.compute.layers import RequirementError, read_pins

NAME = "payment-functions"
SUFFIX = ".cdx.json"


@dataclass
class Materials:
    """The contents of a template's functions, collected by packaging."""

    # The zip, the version of the code, and path and content of each file in the zip.
    package: bytes = b""
    version: str = ""
    files: list[tuple[str, bytes]] = field(default_factory=list)
    layers: list[Path] = field(default_factory=list)
    runtimes: set[str] = field(default_factory=set)


def render_bill(materials: Materials) -> bytes:
    """Return the bill as JSON. Raises ``UserError`` for a requirement without its version or its digest."""
    code = Component(
        name=NAME,
        version=materials.version,
        type=ComponentType.APPLICATION,
        bom_ref=NAME,
        hashes=[_sha256_of(materials.package)],
        components=[
            Component(name=name, type=ComponentType.FILE, bom_ref=f"{NAME}/{name}", hashes=[_sha256_of(content)])
            for name, content in materials.files
        ],
    )
    dependencies = [
        *_runtime_components(materials.runtimes),
        *(component for path in materials.layers for component in read_libraries(path)),
    ]
    bom = Bom(components=dependencies, metadata=BomMetaData(component=code), serial_number=uuid.UUID(int=0))
    bom.metadata.timestamp = None  # type: ignore[assignment] # the default is the current time
    bom.register_dependency(code, dependencies)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(_to_json(bom).encode()).hexdigest())
    return _to_json(bom).encode()


def read_libraries(requirements: Path) -> Iterator[Component]:
    """Yield the libraries of a layer. Raises ``UserError`` for a requirement without its version or its digest."""
    try:
        for pin in read_pins(requirements):
            purl = PackageURL("pypi", None, re.sub(r"[._-]+", "-", pin.name).lower(), pin.version)
            hashes = [HashType(alg=HashAlgorithm.SHA_256, content=pin.sha256)]
            yield Component(name=pin.name, version=pin.version, purl=purl, bom_ref=str(purl), hashes=hashes)
    except RequirementError as error:
        raise UserError(str(error)) from error


def _runtime_components(names: Iterable[str]) -> Iterator[Component]:
    for name in sorted(names):
        # AWS chooses and patches the libraries of a runtime, such as botocore, so they are not listed.
        yield Component(
            name=name, type=ComponentType.PLATFORM, bom_ref=name, description="A managed runtime of AWS Lambda"
        )


def _sha256_of(content: bytes) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(content).hexdigest())


def _to_json(bom: Bom) -> str:
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"
