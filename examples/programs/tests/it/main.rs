//! The programs as their users see them, each run as a child process. One binary, so that what the
//! tests share is built once.

#![cfg(unix)]

mod batch_client;
mod crawler;
mod dashboard;
mod dupes;
mod http_load;
mod http_service;
mod http_service_ends;
mod http_service_requests;
mod http_service_sockets;
mod jobs;
mod jobs_look;
mod jobs_move;
mod jobs_order;
mod jobs_readme;
mod jobs_work;
mod parallel;
mod parallel_ends;
mod parallel_journal;
mod scheduler;
mod screen;
mod support;
