//! Version 1 of the tables.
//!
//! Ids are 32 hexadecimal digits, times microseconds since 1970, booleans 0 or 1. `sealed` columns
//! are ciphertext; `*_index` columns are keyed hashes; everything else is in the clear, so nothing
//! may be added here that tells a name, a digest, a size or a media type.
//!
//! `epoch` names the registry key that a sealed row needs, `seal_no` rises whenever it is sealed
//! anew. Foreign keys only ever refuse: none cascades.

pub(super) const TABLES: &str = "
-- What the database knows of itself.
CREATE TABLE meta (
    key {id} NOT NULL PRIMARY KEY,
    value {blob} NOT NULL
){strict};

-- The instance: its service key, sealed in slots, its own keys, and sealed rows of no registry.
CREATE TABLE service_slot (
    slot_id {id} NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('credential', 'file', 'passphrase', 'recovery')),
    params TEXT NOT NULL,
    sealed {blob} NOT NULL
){strict};

CREATE TABLE instance_key (
    purpose TEXT NOT NULL PRIMARY KEY,
    sealed {blob} NOT NULL,
    seal_no {int} NOT NULL
){strict};

CREATE TABLE instance_record (
    row_id {id} NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    name_index {blob} NOT NULL,
    sealed {blob} NOT NULL,
    seal_no {int} NOT NULL,
    UNIQUE (kind, name_index)
){strict};

-- Registries and their keys.
CREATE TABLE registry (
    registry_id {id} NOT NULL PRIMARY KEY,
    name_index {blob} NOT NULL UNIQUE,
    sealed {blob} NOT NULL,
    seal_no {int} NOT NULL,
    repo_version {int} NOT NULL,
    repo_pruned_to {int} NOT NULL,
    created_at {int} NOT NULL
){strict};

CREATE TABLE epoch (
    registry_id {id} NOT NULL REFERENCES registry,
    number {int} NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'retiring')),
    customer {int} NOT NULL CHECK (customer IN (0, 1)),
    service_share {blob} NOT NULL,
    key_check {blob} NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (registry_id, number)
){strict};

CREATE TABLE wrap (
    wrap_id {id} NOT NULL PRIMARY KEY,
    registry_id {id} NOT NULL,
    epoch {int} NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('current', 'old')),
    sealed {blob} NOT NULL,
    seal_no {int} NOT NULL,
    created_at {int} NOT NULL,
    FOREIGN KEY (registry_id, epoch) REFERENCES epoch (registry_id, number)
){strict};
CREATE INDEX wrap_epoch ON wrap (registry_id, epoch);
CREATE UNIQUE INDEX wrap_current ON wrap (registry_id, epoch) WHERE state = 'current';

CREATE TABLE index_key (
    registry_id {id} NOT NULL PRIMARY KEY REFERENCES registry,
    row_id {id} NOT NULL,
    epoch {int} NOT NULL,
    sealed {blob} NOT NULL,
    seal_no {int} NOT NULL
){strict};

-- Content.
CREATE TABLE repository (
    repository_id {id} NOT NULL PRIMARY KEY,
    registry_id {id} NOT NULL REFERENCES registry,
    name_index {blob} NOT NULL,
    epoch {int} NOT NULL,
    seal_no {int} NOT NULL,
    sealed {blob} NOT NULL,
    version {int} NOT NULL,
    deleted {int} NOT NULL CHECK (deleted IN (0, 1)),
    tag_version {int} NOT NULL,
    tag_pruned_to {int} NOT NULL,
    UNIQUE (registry_id, name_index)
){strict};
CREATE INDEX repository_version ON repository (registry_id, version);

CREATE TABLE blob (
    blob_id {id} NOT NULL PRIMARY KEY,
    registry_id {id} NOT NULL REFERENCES registry,
    digest_index {blob} NOT NULL,
    epoch {int} NOT NULL,
    seal_no {int} NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('present', 'quarantined')),
    sealed {blob} NOT NULL,
    created_at {int} NOT NULL,
    UNIQUE (registry_id, digest_index)
){strict};

CREATE TABLE part (
    part_id {id} NOT NULL PRIMARY KEY,
    registry_id {id} NOT NULL REFERENCES registry,
    state TEXT NOT NULL CHECK (state IN ('writing', 'live', 'dead')),
    lease_until {int} NOT NULL,
    changed_at {int} NOT NULL
){strict};
CREATE INDEX part_state ON part (registry_id, state, changed_at);

CREATE TABLE blob_link (
    link_id {id} NOT NULL PRIMARY KEY,
    repository_id {id} NOT NULL REFERENCES repository,
    blob_id {id} NOT NULL REFERENCES blob,
    epoch {int} NOT NULL,
    seal_no {int} NOT NULL,
    sealed {blob} NOT NULL,
    touched_at {int} NOT NULL,
    UNIQUE (repository_id, blob_id)
){strict};
CREATE INDEX blob_link_blob ON blob_link (blob_id);

-- The content comes last, so that reading the columns before it need not walk through it.
CREATE TABLE manifest (
    manifest_id {id} NOT NULL PRIMARY KEY,
    registry_id {id} NOT NULL REFERENCES registry,
    repository_id {id} NOT NULL REFERENCES repository,
    digest_index {blob} NOT NULL,
    child_index {blob} NOT NULL,
    epoch {int} NOT NULL,
    seal_no {int} NOT NULL,
    touched_at {int} NOT NULL,
    created_at {int} NOT NULL,
    sealed {blob} NOT NULL,
    content {blob} NOT NULL,
    UNIQUE (repository_id, digest_index)
){strict};
CREATE INDEX manifest_child ON manifest (repository_id, child_index);

CREATE TABLE edge (
    manifest_id {id} NOT NULL REFERENCES manifest,
    repository_id {id} NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('config', 'layer', 'child', 'subject', 'foreign')),
    child_index {blob} NOT NULL,
    PRIMARY KEY (manifest_id, kind, child_index)
){strict};
CREATE INDEX edge_child ON edge (repository_id, child_index, kind, manifest_id);

CREATE TABLE tag (
    tag_id {id} NOT NULL PRIMARY KEY,
    repository_id {id} NOT NULL REFERENCES repository,
    name_index {blob} NOT NULL,
    epoch {int} NOT NULL,
    seal_no {int} NOT NULL,
    sealed {blob},
    manifest_id {id} REFERENCES manifest,
    version {int} NOT NULL,
    deleted {int} NOT NULL CHECK (deleted IN (0, 1)),
    changed_at {int} NOT NULL,
    UNIQUE (repository_id, name_index),
    CHECK ((deleted = 1) = (manifest_id IS NULL)),
    CHECK ((deleted = 1) = (sealed IS NULL))
){strict};
CREATE INDEX tag_version ON tag (repository_id, version);
CREATE INDEX tag_manifest ON tag (manifest_id);

CREATE TABLE upload (
    upload_id {id} NOT NULL PRIMARY KEY,
    registry_id {id} NOT NULL REFERENCES registry,
    repository_id {id} NOT NULL REFERENCES repository,
    epoch {int} NOT NULL,
    seal_no {int} NOT NULL,
    generation {int} NOT NULL,
    sealed {blob} NOT NULL,
    started_at {int} NOT NULL,
    expires_at {int} NOT NULL
){strict};
CREATE INDEX upload_expiry ON upload (registry_id, expires_at);
";
