#!/bin/sh
# MariaDB for a Tango database: makes the tables when there are none, then serves them.
# MYSQL_USER, MYSQL_PASSWORD, MYSQL_DATABASE: as DataBaseds has them. MYSQL_PORT: default 3306.
set -eu
: "${MYSQL_PASSWORD:?}"
data=/var/lib/mysql
made=$data/tango_tables_made

run() { mariadb --no-defaults --socket="$data/first.sock" "$@"; }

make_tables() {
    mariadb-install-db --no-defaults --datadir="$data" --skip-test-db
    # nobody can connect but this script, which has no account yet
    mariadbd --no-defaults --datadir="$data" --socket=./first.sock --skip-networking \
        --skip-grant-tables &
    server=$!
    for _ in $(seq 150); do
        run --execute='select 1' >/dev/null 2>&1 && break
        sleep 0.2
    done
    run <<END
flush privileges;
create or replace database $MYSQL_DATABASE;
create or replace user '$MYSQL_USER'@'%' identified by '$MYSQL_PASSWORD';
grant all on $MYSQL_DATABASE.* to '$MYSQL_USER'@'%';
END
    MYSQL_PWD=$MYSQL_PASSWORD run --user="$MYSQL_USER" "$MYSQL_DATABASE" \
        </usr/share/dbconfig-common/data/tango-db/install/mysql
    kill "$server"
    wait "$server"
    touch "$made"
}

[ -e "$made" ] || make_tables
exec mariadbd --no-defaults --datadir="$data" --socket=./server.sock \
    --bind-address=0.0.0.0 --skip-name-resolve --port="${MYSQL_PORT:-3306}"
