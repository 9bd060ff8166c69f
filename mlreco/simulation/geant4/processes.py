"""The physics: standard electromagnetic processes, decays, the Bertini cascade, capture at rest.

The selection needs no data files, so atomic de-excitation, models of low-energy photons, radioactive decay and the
capture of neutrons are absent. Names of processes are those of Geant4's own physics lists.
"""

from __future__ import annotations

import ctypes

from mlreco.simulation.geant4.library import Library, Pointer

STRING = "RK8G4String"
PARTICLE = "PK20G4ParticleDefinition"
_ELECTROMAGNETIC = 2
"""Value of ``fElectromagnetic`` in ``G4ProcessType``."""

_HADRONS = (
    ("G4Proton", "protonInelastic", "Nucleon"),
    ("G4Neutron", "neutronInelastic", "Nucleon"),
    ("G4PionPlus", "pi+Inelastic", "Pion"),
    ("G4PionMinus", "pi-Inelastic", "Pion"),
)


class ProcessBuilder:
    """Gives particles their processes; called by Geant4 once the particles exist."""

    def __init__(self, library: Library) -> None:
        self.library = library

    def build(self) -> None:
        """Construct and register everything."""
        parameters = self.library.python.G4EmParameters.Instance()
        parameters.SetFluo(False)
        parameters.SetGeneralProcessActive(False)
        parameters.SetVerbose(0)
        self.library.call("_ZN11G4EmBuilder16PrepareEMPhysicsEv", returns=None)
        self._helper = self.library.call("_ZN19G4PhysicsListHelper20GetPhysicsListHelperEv")
        self._photons()
        self._electrons()
        self._heavy_charged()
        self._hadrons()
        self._capture_at_rest()

    def _register(self, process: int, particle: int) -> None:
        symbol = "_ZN19G4PhysicsListHelper15RegisterProcessEP10G4VProcessP20G4ParticleDefinition"
        if not self.library.call(symbol, self._helper, process, particle, returns=ctypes.c_bool):
            raise RuntimeError("Geant4 refused a process")

    def _process(self, class_name: str, name: str) -> int:
        return self.library.construct(class_name, STRING, name)

    def _set_model(self, owner: str, process: int, model: int) -> None:
        symbol = f"_ZN{len(owner)}{owner}10SetEmModelEP10G4VEmModeli"
        self.library.call(symbol, process, model, 0, returns=None, types=[Pointer, Pointer, ctypes.c_int])

    def _photons(self) -> None:
        construct = self.library.construct
        photoelectric, compton, conversion = (
            construct(kind, f"{STRING}13G4ProcessType", name, _ELECTROMAGNETIC, types=[Pointer, ctypes.c_int])
            for kind, name in (
                ("G4PhotoElectricEffect", "phot"),
                ("G4ComptonScattering", "compt"),
                ("G4GammaConversion", "conv"),
            )
        )
        self._set_model("G4VEmProcess", photoelectric, construct("G4PEEffectFluoModel", STRING, "PhotoElectric"))
        klein_nishina = construct("G4KleinNishinaCompton", PARTICLE + STRING, None, "KleinNishina")
        self._set_model("G4VEmProcess", compton, klein_nishina)
        for process in (photoelectric, compton, conversion):
            self._register(process, self.library.particle("G4Gamma"))

    def _electrons(self) -> None:
        for name in ("G4Electron", "G4Positron"):
            particle = self.library.particle(name)
            radiation = self._process("G4eBremsstrahlung", "eBrem")
            model = self.library.construct("G4eBremsstrahlungRelModel", PARTICLE + STRING, None, "eBremLPM")
            self._set_model("G4VEnergyLossProcess", radiation, model)
            scattering = self._process("G4eMultipleScattering", "msc")
            for process in (scattering, self._process("G4eIonisation", "eIoni"), radiation):
                self._register(process, particle)
        self._register(self._process("G4eplusAnnihilation", "annihil"), self.library.particle("G4Positron"))

    def _heavy_charged(self) -> None:
        ion = self.library.particle("G4GenericIon")
        scattering = self._process("G4hMultipleScattering", "ionmsc")
        self._register(scattering, ion)
        self._register(self._process("G4ionIonisation", "ionIoni"), ion)
        symbol = "_ZN11G4EmBuilder16ConstructChargedEP21G4hMultipleScatteringP17G4NuclearStoppingb"
        types = [Pointer, Pointer, ctypes.c_bool]
        self.library.call(symbol, scattering, None, True, returns=None, types=types)

    def _hadrons(self) -> None:
        construct = self.library.construct
        elastic, cascade = self._process("G4HadronElastic", "hElasticLHEP"), self._cascade()
        for class_name, name, data in _HADRONS:
            particle = self.library.particle(class_name)
            for process, model, kind in (
                (self._process("G4HadronElasticProcess", "hadElastic"), elastic, "Elastic"),
                (construct("G4HadronInelasticProcess", STRING + PARTICLE, name, particle), cascade, "Inelastic"),
            ):
                table = construct(f"G4BGG{data}{kind}XS", PARTICLE, particle)
                add_table = "_ZN17G4HadronicProcess10AddDataSetEP22G4VCrossSectionDataSet"
                self.library.call(add_table, process, table, returns=None)
                add_model = "_ZN17G4HadronicProcess10RegisterMeEP21G4HadronicInteraction"
                self.library.call(add_model, process, model, returns=None)
                self._register(process, particle)

    def _capture_at_rest(self) -> None:
        absorption = self.library.construct("G4HadronicAbsorptionBertini", "P20G4ParticleDefinition", None)
        self._register(absorption, self.library.particle("G4PionMinus"))
        capture = self.library.construct("G4MuonMinusCapture", "P21G4HadronicInteraction", self._cascade())
        self._register(capture, self.library.particle("G4MuonMinus"))

    def _cascade(self) -> int:
        return self._process("G4CascadeInterface", "BertiniCascade")
