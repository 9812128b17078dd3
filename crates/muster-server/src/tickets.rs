//! Limits on what one client can use of the daemon, so that enough is left for the others.
//!
//! Requests that cost memory or time while they last, such as a large response that is not read or a search through
//! log files, need a ticket. Users that may only read share a part of the tickets of each kind, and each of them gets
//! a smaller part; users that control programs get more, and root is refused last. Dropping a ticket returns it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use muster_access::{Client, Rank};
use muster_api::{Problem, ProblemKind};
use muster_spec::Principal;
use tokio::sync::Semaphore;

use crate::budget::Budget;

/// The most clients of a listener on TCP that follow events or logs. A connection on TCP has one descriptor of the two that
/// the budget has for it, so the other ones are for these.
const MOST_REMOTE_FOLLOWERS: usize = 16;

/// The tickets of one kind.
#[derive(Clone, Debug)]
pub struct Tickets {
    /// Their number, which a reload may change.
    budget: Rc<Cell<Budget>>,
    most: fn(&Budget) -> usize,
    /// The highest rank that a client of theirs has, which is refused last.
    highest: Rank,
    /// The number that each client has.
    taken: Rc<RefCell<BTreeMap<Principal, (Rank, usize)>>>,
}

/// The right to do one thing.
#[derive(Debug)]
pub struct Ticket {
    taken: Rc<RefCell<BTreeMap<Principal, (Rank, usize)>>>,
    principal: Principal,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut taken = self.taken.borrow_mut();
        if let Some((_, count)) = taken.get_mut(&self.principal) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.principal);
            }
        }
    }
}

impl Tickets {
    fn of(budget: &Rc<Cell<Budget>>, most: fn(&Budget) -> usize) -> Tickets {
        Tickets { budget: Rc::clone(budget), most, highest: Rank::Root, taken: Rc::default() }
    }

    /// Their number.
    pub fn most(&self) -> usize {
        (self.most)(&self.budget.get())
    }

    /// Takes a ticket, or fails if the client has its share. `what` is what it is for, such as "follow logs".
    pub fn take(&self, client: Client, what: &str) -> Result<Ticket, Problem> {
        let most = self.most();
        let (of_one, of_all) = match client.rank {
            Rank::Onlooker => (most / 8, most / 4),
            Rank::Controller if self.highest == Rank::Controller => (most / 2, most),
            Rank::Controller => (most / 2, most * 3 / 4),
            Rank::Root => (most, most),
        };
        let mut taken = self.taken.borrow_mut();
        let own = taken.get(&client.principal).map_or(0, |(_, count)| *count);
        // Tickets of a higher rank do not count against a lower one, as long as there are any left.
        let all: usize = taken.values().map(|(_, count)| count).sum();
        let of_rank: usize = taken.values().filter(|(rank, _)| *rank <= client.rank).map(|(_, count)| count).sum();
        if own >= of_one.max(1) || of_rank >= of_all.max(1) || all >= most {
            let problem = Problem::new(ProblemKind::Busy, format!("too many clients {what} already"));
            return Err(
                problem.with_hint(format!("{} has {own} such requests open: read their responses", client.principal))
            );
        }
        taken.entry(client.principal).or_insert((client.rank, 0)).1 += 1;
        Ok(Ticket { taken: Rc::clone(&self.taken), principal: client.principal })
    }
}

/// Every kind of ticket.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Responses whose size grows with the number of programs.
    pub answers: Tickets,
    /// Followers of the events. Each may hold a list of all programs.
    pub listeners: Tickets,
    /// Followers of logs.
    pub followers: Tickets,
    /// Searches through log files, each with a thread.
    pub searches: Tickets,
    /// Held by the request that looks through /proc.
    pub walk: Arc<Semaphore>,
    /// Held by the request with a body of more than a mebibyte.
    pub bodies: Arc<Semaphore>,
}

impl Desk {
    pub(crate) fn of(budget: &Rc<Cell<Budget>>) -> Desk {
        Desk {
            answers: Tickets::of(budget, |budget| budget.answers),
            listeners: Tickets::of(budget, |budget| budget.listeners),
            followers: Tickets::of(budget, |budget| budget.followers),
            searches: Tickets::of(budget, |budget| budget.searches),
            walk: Arc::new(Semaphore::new(1)),
            bodies: Arc::new(Semaphore::new(1)),
        }
    }

    /// For the clients of a listener on TCP: they have followers of their own, so that none of them takes one of a client of
    /// this machine.
    pub(crate) fn of_remote(&self, budget: &Rc<Cell<Budget>>) -> Desk {
        let most = |budget: &Budget| MOST_REMOTE_FOLLOWERS.min(budget.connections);
        let followers = Tickets { highest: Rank::Controller, ..Tickets::of(budget, most) };
        Desk { followers: followers.clone(), listeners: followers, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_most(answers: usize) -> Tickets {
        let budget = Budget { answers, ..Budget::of(0, [], 0) };
        Tickets::of(&Rc::new(Cell::new(budget)), |budget| budget.answers)
    }

    fn take(tickets: &Tickets, uid: u32, rank: Rank) -> Vec<Ticket> {
        std::iter::from_fn(|| tickets.take(Client::ranked(Principal::Uid(uid), rank), "ask").ok()).collect()
    }

    #[test]
    fn onlookers_leave_tickets_to_controllers_and_both_to_root() {
        let tickets = at_most(16);
        let one = take(&tickets, 1001, Rank::Onlooker);
        let two = take(&tickets, 1002, Rank::Onlooker);
        let three = take(&tickets, 1003, Rank::Onlooker);
        assert_eq!((one.len(), two.len(), three.len()), (2, 2, 0));
        let controller = take(&tickets, 1004, Rank::Controller);
        assert_eq!(controller.len(), 8);
        assert_eq!(take(&tickets, 0, Rank::Root).len(), 4);
        drop(one);
        assert_eq!(take(&tickets, 1003, Rank::Onlooker).len(), 2, "what is given back can be taken");
    }

    #[test]
    fn clients_of_a_listener_on_tcp_have_followers_of_their_own() {
        let budget = Rc::new(Cell::new(Budget::of(1024, [], 1)));
        let desk = Desk::of(&budget);
        let (one, other) = (desk.of_remote(&budget), desk.of_remote(&budget));
        let known = |uid| Client::ranked(Principal::Uid(uid), Rank::Controller);
        let logs: Vec<_> = (0..).map_while(|_| one.followers.take(known(1), "follow logs").ok()).collect();
        let events: Vec<_> = (0..).map_while(|_| one.listeners.take(known(2), "follow events").ok()).collect();
        assert_eq!((logs.len(), events.len()), (8, 8));
        assert!(one.followers.take(known(3), "follow logs").is_err(), "16 in all");
        assert!(other.followers.take(known(1), "follow logs").is_ok(), "another listener");
        let local = Client::ranked(Principal::Uid(0), Rank::Root);
        let locals: Vec<_> = (0..).map_while(|_| desk.listeners.take(local, "follow events").ok()).collect();
        assert_eq!(locals.len(), desk.listeners.most());
    }

    #[test]
    fn everyone_gets_one_where_there_are_few() {
        for rank in [Rank::Onlooker, Rank::Controller, Rank::Root] {
            assert_eq!(take(&at_most(1), 7, rank).len(), 1, "{rank:?}");
        }
    }
}
