//! The running server as the operator reaches it, by the control socket or by signals: reload, status,
//! accounts, the time of a test. Refuses to know how orders come in.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::bounded;
use parking_lot::Mutex;

use crate::actor::audit::{Attempt, AuditEvent, By};
use crate::actor::auth::AccountRef;
use crate::actor::rows::StoreError;
use crate::audit::Audit;
use crate::auth::{Accounts, AuthService, AuthSettings};
use crate::base::AccountId;
use crate::config::Config;
use crate::directory::DirectoryService;
use crate::directory::prepared::Prepared;
use crate::jid::Jid;
use crate::shard::Control;
use crate::store::Store;
use crate::worker::{Address, Clock, Counters, Door, Order, TlsContext};

use super::accounts::AccountDesk;
use super::admin::AdminActions;
use super::certificates::{self, CertificateSource};
use super::command::UserCommand;
use super::directory::prepare_directories;
use super::log;
use super::reload::{self, Reloaded};
use super::restored;
use super::settings::read_config;

/// Handles to everything that runs.
pub struct Running {
    /// As it was at the start: what needs a restart is still so.
    pub started: Config,
    pub current: Mutex<Arc<Config>>,
    pub certificates: CertificateSource,
    /// What new handshakes are made with.
    pub tls: Mutex<Arc<TlsContext>>,
    pub addresses: Vec<Address>,
    /// Where it listens, with the ports that the system chose.
    pub listeners: Vec<SocketAddr>,
    pub door: Arc<Door>,
    pub store: Store,
    pub accounts: Arc<Accounts>,
    pub auth: Arc<AuthService>,
    pub directory: Arc<DirectoryService>,
    pub audit: Audit,
    pub clock: Clock,
    /// What `time advance` adds to; only with `--test-clock`.
    pub test_offset_ms: Option<Arc<AtomicU64>>,
    /// Set when the server begins to stop: what an operator asked for and takes long ends then.
    pub stopping: AtomicBool,
    /// Held while a copy is made.
    pub copying: Mutex<()>,
}

impl Running {
    /// What the control socket can ask for.
    pub fn actions(self: &Arc<Running>) -> AdminActions {
        let server = || Arc::clone(self);
        let (backup, reload, status, user, time) =
            (server(), server(), server(), server(), server());
        let listeners: Vec<String> = self.listeners.iter().map(ToString::to_string).collect();
        AdminActions {
            backup: Box::new(move |directory| backup.backup(directory)),
            listeners: Box::new(move || Ok(listeners.clone())),
            reload: Box::new(move || reload.reload()),
            status: Box::new(move || Ok(status.status())),
            time_advance: self.test_offset_ms.as_ref().map(|_| {
                let advance: Box<dyn Fn(u64) + Send + Sync> = Box::new(move |ms| time.advance(ms));
                advance
            }),
            user: Box::new(move |command| user.user(command)),
        }
    }

    /// Reads configuration and certificates again, as one transaction. Answers what the operator reads.
    ///
    /// # Errors
    /// The same lines, when the old configuration stays.
    pub fn reload(&self) -> Result<Vec<String>, String> {
        // Held to the end: two reloads at once would give workers different configurations.
        let mut current = self.current.lock();
        // Whatever comes of the rest: whoever rotates files has moved this one away.
        self.audit.reopen();
        let path = self.certificates.config.as_deref();
        let load = || read_config(path);
        let before = Arc::clone(&self.tls.lock());
        let outcome = reload::reload(&self.started, &current, load, |config| {
            let tls = self.certificates.context(config, Some(&before))?;
            Ok((tls, prepare_directories(config, path)?))
        });
        self.record(AuditEvent::Reload {
            outcome: Attempt::of(&outcome),
            by: By::Operator,
        });
        let mut lines = reload::report(&outcome);
        let level = match outcome {
            Ok(_) => ::log::Level::Info,
            // What the operator wanted is not in force.
            Err(_) => ::log::Level::Warn,
        };
        for line in &lines {
            ::log::log!(level, "reload {line:?}");
        }
        match outcome {
            Ok(reloaded) => {
                let (config, certificates) = self.adopt(reloaded);
                for line in &certificates {
                    ::log::info!("reload {line:?}");
                }
                lines.extend(certificates);
                *current = config;
                Ok(lines)
            }
            Err(_) => Err(lines.join("\n")),
        }
    }

    /// Puts the new configuration in force; with it, a line for each host that shows another certificate, and one
    /// if other authorities log clients in.
    fn adopt(&self, reloaded: Reloaded<(TlsContext, Vec<Prepared>)>) -> (Arc<Config>, Vec<String>) {
        let config = Arc::new(reloaded.config);
        log::set_filter(&config.log.filter);
        self.audit.configure(config.audit.when_full);
        self.accounts.configure(AuthSettings::from(&*config));
        for change in reloaded.live {
            self.record(AuditEvent::ConfigurationChanged {
                option: Arc::from(change.path),
                from: change.from.map(Arc::from),
                to: change.to.map(Arc::from),
            });
        }
        let (tls, directories) = reloaded.certificates;
        if let Err(error) = self.directory.adopt(directories) {
            ::log::error!("directories_unchanged error=\"{error}\"");
        }
        let tls = Arc::new(tls);
        let before = std::mem::replace(&mut *self.tls.lock(), Arc::clone(&tls));
        let lines = self.record_certificates(Some(&before), &tls);
        self.order_all(|| Order::Tls(Arc::clone(&tls)));
        self.order_all(|| Order::Control(Control::Reconfigure(Arc::clone(&config))));
        (config, lines)
    }

    /// Records what [`certificates::changes`] finds, and says so to the operator.
    pub fn record_certificates(
        &self,
        before: Option<&TlsContext>,
        now: &TlsContext,
    ) -> Vec<String> {
        let mut lines = Vec::new();
        for event in certificates::changes(before, now) {
            match &event {
                AuditEvent::CertificateChanged { host, fingerprint } => {
                    lines.push(format!("changed: certificate of {host}: {fingerprint}"));
                }
                AuditEvent::ClientAuthoritiesChanged { fingerprints } => {
                    let now = match fingerprints.len() {
                        0 => "none".to_owned(),
                        _ => fingerprints.join(" "),
                    };
                    lines.push(format!(
                        "changed: authorities of client certificates: {now}"
                    ));
                }
                _ => {}
            }
            self.record(event);
        }
        lines
    }

    fn record(&self, event: AuditEvent) {
        self.audit.record(self.clock.now().wall_ms, event);
    }

    /// Gives every worker an order.
    pub fn order_all(&self, order: impl Fn() -> Order) {
        for address in &self.addresses {
            address.order(order());
        }
    }

    /// Whether what takes long may go on.
    fn goes_on(&self) -> bool {
        !self.stopping.load(Ordering::Acquire)
    }

    fn backup(&self, directory: &Path) -> Result<Vec<String>, String> {
        // Two to one directory would take each other's files away.
        let copying = self.copying.try_lock();
        let _copying = copying.ok_or("a copy is being made already; try again when it is done")?;
        let copied = self
            .store
            .backup(directory, restored::mark(), &|| self.goes_on());
        self.record(AuditEvent::Backup {
            directory: Arc::from(directory.display().to_string()),
            outcome: Attempt::of(&copied),
            by: By::Operator,
        });
        copied.map_err(|error| error.to_string())?;
        Ok(vec![format!("copied to {}", directory.display())])
    }

    fn user(self: &Arc<Self>, command: UserCommand) -> Result<Vec<String>, String> {
        let config = Arc::clone(&self.current.lock());
        let desk = AccountDesk {
            accounts: &self.accounts,
            config: &config,
            now: self.clock.now(),
            goes_on: &|| self.goes_on(),
            disconnect: &|bare, account| self.disconnect(bare, account),
            purge: &|account| self.purge(account),
            audit: &|event| self.record(event),
        };
        desk.run(command)
    }

    fn disconnect(&self, bare: &str, account: Option<AccountRef>) {
        match Jid::parse(bare) {
            Ok(jid) => {
                let at_ms = self.clock.now().mono_ms;
                self.order_all(|| Order::Control(Control::Disconnect(jid.clone(), account, at_ms)));
            }
            Err(error) => ::log::error!("disconnect_failed account={bare:?} error={error:?}"),
        }
    }

    /// In the background: a large archive takes a while, and others have orders for the server, too.
    fn purge(self: &Arc<Self>, account: AccountId) -> Result<(), StoreError> {
        match self.auth.purge(account, tell_of(self.addresses.clone())) {
            true => Ok(()),
            false => Err(StoreError::Overloaded),
        }
    }

    fn advance(&self, ms: u64) {
        if let Some(offset) = &self.test_offset_ms {
            offset.fetch_add(ms, Ordering::Relaxed);
            self.order_all(|| Order::LookAtClock);
        }
    }

    fn status(&self) -> Vec<String> {
        let mut lines = vec![format!("connections: {}", self.door.total())];
        for (index, address) in self.addresses.iter().enumerate() {
            let (answer, report) = bounded(1);
            address.order(Order::Report(answer));
            lines.push(match report.recv_timeout(STATUS_PATIENCE) {
                Ok(counters) => status_line(index, &counters),
                Err(_) => format!("worker {index}: does not answer"),
            });
        }
        lines
    }
}

/// Has what a removed account left for its contacts told.
pub fn tell_of(addresses: Vec<Address>) -> Box<dyn Fn(AccountId) + Send> {
    Box::new(move |account| {
        for address in &addresses {
            address.order(Order::Control(Control::TellOf(account)));
        }
    })
}

fn status_line(index: usize, counters: &Counters) -> String {
    format!(
        "worker {index}: connections {} accepted {} arrived {} handed-over {} handshakes {} failed {} late {} \
         compressed {} garbled {} read-bytes {} written-bytes {} waiting {} turned-away {} lag-ms {}",
        counters.connections,
        counters.accepted,
        counters.arrived,
        counters.handed_over,
        counters.secured,
        counters.handshakes_failed,
        counters.handshakes_late,
        counters.compressed,
        counters.garbled,
        counters.read_bytes,
        counters.written_bytes,
        counters.waiting,
        counters.late,
        counters.lag_ms,
    )
}

/// A worker answers once a turn, which is milliseconds.
const STATUS_PATIENCE: Duration = Duration::from_secs(2);
