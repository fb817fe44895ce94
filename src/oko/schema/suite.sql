CREATE TABLE IF NOT EXISTS public."2_server_keypairs" (
    keypair_id      uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT "2_server_keypairs_pkey" PRIMARY KEY,
    version         integer     NOT NULL GENERATED ALWAYS AS IDENTITY CONSTRAINT "2_server_keypairs_version_key" UNIQUE,
    public_key      bytea       NOT NULL,
    enc_private_key text        NOT NULL,
    is_active       boolean     NOT NULL DEFAULT true,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    rotated_at      timestamptz
);
CREATE INDEX IF NOT EXISTS "idx_2_server_keypairs_is_active" ON public."2_server_keypairs" (is_active) WHERE is_active;
CREATE TABLE IF NOT EXISTS public."2_users" (
    user_id      uuid         NOT NULL DEFAULT gen_random_uuid() CONSTRAINT "2_users_pkey" PRIMARY KEY,
    auth_type    varchar(64)  NOT NULL,
    user_auth_id varchar(255) NOT NULL,
    status       varchar(16)  NOT NULL DEFAULT 'active',
    created_at   timestamptz  NOT NULL DEFAULT now(),
    updated_at   timestamptz  NOT NULL DEFAULT now(),
    aux          jsonb,
    CONSTRAINT "2_users_auth_type_user_auth_id_key" UNIQUE (auth_type, user_auth_id)
);
CREATE TABLE IF NOT EXISTS public."2_wallets" (
    wallet_id  uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT "2_wallets_pkey" PRIMARY KEY,
    user_id    uuid        NOT NULL,
    curve_type varchar(16) NOT NULL,
    public_key bytea       NOT NULL CONSTRAINT "2_wallets_public_key_key" UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    aux        jsonb
);
CREATE TABLE IF NOT EXISTS public."2_key_shares" (
    share_id    uuid         NOT NULL DEFAULT gen_random_uuid() CONSTRAINT "2_key_shares_pkey" PRIMARY KEY,
    wallet_id   uuid         NOT NULL CONSTRAINT "2_key_shares_unique" UNIQUE,
    enc_share   bytea        NOT NULL,
    status      varchar(255) NOT NULL,
    reshared_at timestamptz  NOT NULL DEFAULT now(),
    created_at  timestamptz  NOT NULL DEFAULT now(),
    updated_at  timestamptz  NOT NULL DEFAULT now(),
    aux         jsonb
);
