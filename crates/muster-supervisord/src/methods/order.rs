//! Futures in the order in which they complete.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The futures that were woken, and whom to wake for them.
#[derive(Default)]
struct Woken {
    places: Vec<usize>,
    waker: Option<Waker>,
}

/// Wakes one future.
struct Bell {
    place: usize,
    woken: Arc<Mutex<Woken>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let waker = {
            let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
            woken.places.push(self.place);
            woken.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

/// Runs all futures at once, beginning with the first, and returns their results in the order in which they complete; of
/// those that complete together the first comes first. Only those that were woken are polled.
pub(super) async fn completed<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<Option<Pin<Box<F>>>> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let woken = Arc::new(Mutex::new(Woken { places: (0..futures.len()).collect(), waker: None }));
    let bells: Vec<Waker> =
        (0..futures.len()).map(|place| Waker::from(Arc::new(Bell { place, woken: Arc::clone(&woken) }))).collect();
    let mut results = Vec::with_capacity(futures.len());
    poll_fn(|context| {
        let mut places = {
            let mut woken = woken.lock().unwrap_or_else(PoisonError::into_inner);
            woken.waker = Some(context.waker().clone());
            std::mem::take(&mut woken.places)
        };
        places.sort_unstable();
        for place in places {
            let polled =
                futures[place].as_mut().map(|future| future.as_mut().poll(&mut Context::from_waker(&bells[place])));
            if let Some(Poll::Ready(result)) = polled {
                futures[place] = None;
                results.push(result);
            }
        }
        if results.len() == futures.len() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn results_come_as_they_complete() {
        let wakers: [RefCell<Option<Waker>>; 3] = Default::default();
        let step = |place: usize| {
            let (mut polls, wakers) = (0, &wakers);
            poll_fn(move |context| {
                polls += 1;
                match (place, polls) {
                    // The second completes at once, the others when they are woken.
                    (1, _) | (_, 2) => Poll::Ready(place),
                    _ => {
                        *wakers[place].borrow_mut() = Some(context.waker().clone());
                        Poll::Pending
                    }
                }
            })
        };
        let mut all = Box::pin(completed((0..3).map(step)));
        let mut context = Context::from_waker(Waker::noop());
        assert!(all.as_mut().poll(&mut context).is_pending());
        wakers[2].take().unwrap().wake();
        assert!(all.as_mut().poll(&mut context).is_pending());
        wakers[0].take().unwrap().wake();
        assert_eq!(all.as_mut().poll(&mut context), Poll::Ready(vec![1, 2, 0]));
    }
}
