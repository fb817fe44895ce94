-- The replica of one node: its tables as they are in its own database, sealed and blind, and how far it is. Unique columns are
-- checked at the end of a transaction: within it rows come in no order.

CREATE TABLE ksnode.position (
    id          integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    node_id     uuid        NOT NULL,
    timeline_id uuid        NOT NULL,
    seq         bigint      NOT NULL,
    mark        bytea       NOT NULL,
    fence       bigint      NOT NULL,
    node_schema bigint      NOT NULL,
    version     text        NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE ksnode.node (
    id           bigint PRIMARY KEY,
    node_id      bytea  NOT NULL,
    salt         bytea  NOT NULL,
    memory_kib   bigint NOT NULL,
    passes       bigint NOT NULL,
    lanes        bigint NOT NULL,
    secret_check bytea  NOT NULL,
    created_at   bigint NOT NULL
);

CREATE TABLE ksnode.key_ring (
    purpose    text   NOT NULL,
    version    bigint NOT NULL,
    state      text   NOT NULL,
    wrapped    bytea  NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (purpose, version)
);

CREATE TABLE ksnode.node_key (
    version      bigint PRIMARY KEY,
    public_key   bytea  NOT NULL,
    ring_version bigint NOT NULL,
    sealed_seed  bytea  NOT NULL,
    created_at   bigint NOT NULL,
    retired_at   bigint
);

CREATE TABLE ksnode.timeline (
    id          bigint PRIMARY KEY,
    timeline_id bytea  NOT NULL,
    parent      bytea,
    started_at  bigint NOT NULL,
    last_change bigint
);

CREATE TABLE ksnode."user" (
    id         bigint PRIMARY KEY,
    user_id    bytea  NOT NULL,
    auth_type  text   NOT NULL,
    identifier bytea  NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED,
    created_at bigint NOT NULL
);

CREATE TABLE ksnode.wallet (
    id          bigint PRIMARY KEY,
    wallet_id   bytea  NOT NULL,
    "user"      bigint NOT NULL,
    curve_type  text   NOT NULL,
    public_key  bytea  NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED,
    share_id    bytea,
    key_version bigint,
    sealed      bytea,
    created_at  bigint NOT NULL,
    updated_at  bigint NOT NULL,
    reshared_at bigint
);

CREATE INDEX wallet_of_user ON ksnode.wallet ("user", curve_type);

CREATE TABLE ksnode.tls_account (
    directory   text   NOT NULL,
    contact     bytea  NOT NULL,
    key_version bigint NOT NULL,
    sealed      bytea  NOT NULL,
    PRIMARY KEY (directory, contact)
);

CREATE TABLE ksnode.tls_certificate (
    directory   text   NOT NULL,
    domains     text   NOT NULL,
    key_version bigint NOT NULL,
    sealed      bytea  NOT NULL,
    issued_at   bigint NOT NULL,
    PRIMARY KEY (directory, domains)
);

CREATE TABLE ksnode.imported (
    id          bigint PRIMARY KEY,
    kind        text   NOT NULL,
    row         bigint NOT NULL,
    source_id   bytea  NOT NULL,
    key_version bigint NOT NULL,
    sealed      bytea  NOT NULL,
    UNIQUE (kind, source_id) DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE ksnode.import (
    id       bigint PRIMARY KEY,
    finished bigint NOT NULL
);
