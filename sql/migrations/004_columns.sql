-- What lint needs to tell a column that has come since, version 4.

alter table sweeper.relations add column columns text[];
