"""What is in an image and where it came from, for whoever must know: licences, an SBOM, provenance, verification,
vulnerabilities.

allowed     which known vulnerabilities are accepted, why and until when
licenses    what METADATA and debian/copyright say, as SPDX has it
contents    the packages of an image with their licences
sbom        contents -> SPDX 2.3
provenance  lock and record -> SLSA v1 in in-toto
beside      puts them beside an image in its registry, and signs them
verified    whether an image of a registry is what is said of it
scan        known vulnerabilities, by trivy where it is installed
"""
