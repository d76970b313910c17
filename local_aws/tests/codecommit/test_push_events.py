"""What the event bus is told after pushes and API calls."""

from __future__ import annotations

import getpass

CALLER = f"arn:aws:iam::123456789012:user/{getpass.getuser()}"


def _repository_id(hosting, name):
    answer = hosting.codecommit.get_repository(repositoryName=name)
    return answer["repositoryMetadata"]["repositoryId"]


def test_a_pushed_branch_is_created_updated_and_deleted(hosting, work_tree):
    name = hosting.create()
    url = hosting.clone_url(name)
    first = work_tree.commit(a="1")
    work_tree("push", "--quiet", url, "main")
    work_tree("push", "--quiet", url, "main:dev")
    second = work_tree.commit(a="2")
    work_tree("push", "--quiet", url, "main:dev")
    work_tree("push", "--quiet", url, ":dev")

    events = hosting.told(name)
    common = {
        "repositoryName": name,
        "repositoryId": _repository_id(hosting, name),
        "referenceType": "branch",
        "referenceName": "dev",
        "referenceFullName": "refs/heads/dev",
        "callerUserArn": CALLER,
    }
    assert [event["detail"] for event in events[1:]] == [
        {**common, "event": "referenceCreated", "commitId": first},
        {**common, "event": "referenceUpdated", "commitId": second, "oldCommitId": first},
        {**common, "event": "referenceDeleted", "oldCommitId": second},
    ]
    assert events[0]["source"] == "aws.codecommit"
    assert events[0]["detail-type"] == "CodeCommit Repository State Change"
    assert events[0]["resources"] == [f"arn:aws:codecommit:us-east-1:123456789012:{name}"]


def test_a_push_of_several_refs_tells_each_and_of_a_tag_its_commit(hosting, work_tree):
    name = hosting.create()
    commit = work_tree.commit(a="1")
    work_tree("branch", "dev")
    work_tree("tag", "light")
    work_tree("tag", "-a", "v1", "-m", "annotated")
    work_tree("push", "--quiet", "--all", hosting.clone_url(name))
    work_tree("push", "--quiet", "--tags", hosting.clone_url(name))

    details = [event["detail"] for event in hosting.told(name)]
    assert [(one["referenceType"], one["referenceName"], one["commitId"]) for one in details] == [
        ("branch", "dev", commit),
        ("branch", "main", commit),
        ("tag", "light", commit),
        ("tag", "v1", commit),
    ]


def test_a_push_that_changes_nothing_tells_nothing(hosting, work_tree):
    name = hosting.create()
    work_tree.commit(a="1")
    work_tree("push", "--quiet", hosting.clone_url(name), "main")
    work_tree("push", "--quiet", hosting.clone_url(name), "main")

    assert len(hosting.told(name)) == 1
