"""KubeRay's objects as far as ours use them, written down from its types (apis/ray/v1 of KubeRay 1.5), for jsonschema.

What is not named here is refused, so that a misspelt field is found, and so that a field which is used for the first
time is looked up. Pod templates are Kubernetes' own and are held to its own schema.
"""

from collections.abc import Iterator
from typing import Any

TEXT, TEXTS = {"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}
FLAG, COUNT = {"type": "boolean"}, {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
ANYTHING = {"type": "object"}  # Kubernetes' own, see `pods`


def _object(required: str = "", **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


HEAD = _object("rayStartParams template", rayStartParams=TEXTS, template=ANYTHING, serviceType=TEXT)
GROUP = _object(
    "groupName minReplicas maxReplicas rayStartParams template",
    groupName={"type": "string", "pattern": "^[a-z][a-z0-9-]*$"},
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    idleTimeoutSeconds=COUNT,
    rayStartParams=TEXTS,
    template=ANYTHING,
)
AUTOSCALER = _object(
    idleTimeoutSeconds=COUNT,
    upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
    version={"enum": ["v1", "v2"]},
    resources=ANYTHING,
    securityContext=ANYTHING,
    env={"type": "array"},
    envFrom={"type": "array"},
)
CLUSTER = _object(
    "headGroupSpec",
    rayVersion=TEXT,
    authOptions=_object(mode={"enum": ["disabled", "token"]}),
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=AUTOSCALER,
    headGroupSpec=HEAD,
    workerGroupSpecs={"type": "array", "items": GROUP},
)
JOB = _object(
    "entrypoint rayClusterSpec",
    entrypoint=TEXT,
    backoffLimit=COUNT,
    activeDeadlineSeconds={"type": "integer", "minimum": 1},
    shutdownAfterJobFinishes=FLAG,
    ttlSecondsAfterFinished=COUNT,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    rayClusterSpec=CLUSTER,
)
NAME = {"type": "string", "pattern": "^[a-z][a-z0-9-]{0,46}$"}  # KubeRay adds to it, and 63 is Kubernetes' most
METADATA = _object("name", name=NAME, namespace=TEXT, labels=TEXTS, annotations=TEXTS)


def schema(kind: str) -> dict[str, Any]:
    """Of `RayCluster` or `RayJob`."""
    version = {"const": "ray.io/v1"}
    spec = {"RayCluster": CLUSTER, "RayJob": JOB}[kind]
    return _object("apiVersion kind metadata spec", apiVersion=version, kind=TEXT, metadata=METADATA, spec=spec)


def cluster(manifest: dict[str, Any]) -> dict[str, Any]:
    """The spec of the cluster, a job's too."""
    spec: dict[str, Any] = manifest["spec"]
    return spec.get("rayClusterSpec", spec)


def pods(manifest: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each group's pod, and that which KubeRay adds its autoscaler to, as Kubernetes would be given them, by name."""
    spec = cluster(manifest)
    groups = [("head", spec["headGroupSpec"]), *((group["groupName"], group) for group in spec["workerGroupSpecs"])]
    for name, group in groups:
        yield name, pod(name, group["template"]["spec"])
    beside = {key: spec["autoscalerOptions"][key] for key in ("resources", "securityContext")}
    yield "autoscaler", pod("autoscaler", {"containers": [{"name": "autoscaler", "image": "any", **beside}]})


def pod(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
