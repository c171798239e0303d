"""Makes the reference mesh: services by hosts by dependencies, the same for the same numbers.

python benchmarks/reference_mesh.py DIR [--services 1000] [--hosts 10] [--dependencies 10]
"""

from __future__ import annotations

import argparse
from pathlib import Path


def service_name(index: int) -> str:
    """Name of a service."""
    return f"service-{index:04d}"


def host_address(service: int, host: int) -> str:
    """Address of a host; the third part leaves room for 65,000 services."""
    return f"10.{service // 250}.{service % 250}.{host + 1}"


def service_text(index: int, *, services: int, hosts: int, dependencies: int) -> str:
    """Return the document of one service."""
    lines = [f"# {service_name(index)}, made by the generator", "protocol: HTTP", "hosts:"]
    for host in range(hosts):
        lines += [
            f"- name: {service_name(index)}-{host}",
            f"  ingressAddr: {{host: {host_address(index, host)}, port: 8080}}",
            "  substanceAddr: {host: 127.0.0.1, port: 9000}",
            "  egressHost: 127.0.0.1",
        ]
    lines.append("dependentServices:")
    for offset in range(dependencies):
        # 37 steps apart: no service depends on itself, and callers are spread evenly.
        target = (index + 1 + 37 * offset) % services
        lines += [f"- name: {service_name(target)}", f"  egressPort: {9001 + offset}"]
    return "\n".join(lines) + "\n"


def write_mesh(
    root: Path, *, services: int = 1_000, hosts: int = 10, dependencies: int = 10
) -> None:
    """Write the documents of a mesh into a new folder."""
    root.mkdir(parents=True)
    for index in range(services):
        text = service_text(index, services=services, hosts=hosts, dependencies=dependencies)
        (root / f"{service_name(index)}.yaml").write_text(text)
    (root / "mesh.yaml").write_text("name: reference\n")


def main() -> None:
    """Write a mesh from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--services", type=int, default=1_000)
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument("--dependencies", type=int, default=10)
    arguments = parser.parse_args()
    write_mesh(
        arguments.directory,
        services=arguments.services,
        hosts=arguments.hosts,
        dependencies=arguments.dependencies,
    )


if __name__ == "__main__":
    main()
