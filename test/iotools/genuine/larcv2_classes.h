// Data classes under the names that LArCV2 files use, with the members that are stored and nothing else.
// LARCV2_OLD gives the files of 2018: 2-byte particle ids, no group, interaction or parent, image limits by axis.
#include <string>
#include <vector>

namespace larcv {

#ifdef LARCV2_OLD
using InstanceID_t = unsigned short;
#else
using InstanceID_t = unsigned long;
#endif
enum ShapeType_t { kShapeShower, kShapeTrack, kShapeMichel, kShapeDelta, kShapeLEScatter, kShapeUnknown };

class EventBase {
public:
  virtual ~EventBase() {}
  std::string _producer;
  size_t _run, _subrun, _event;
};

struct Point3D { double x, y, z; };

class BBox3D {
public:
  virtual ~BBox3D() {}
  Point3D _p1, _p2;
};

#ifdef LARCV2_OLD
class Voxel3DMeta {
public:
  bool _valid;
  size_t _num_element;
  double _xmin, _xmax, _xlen, _ymin, _ymax, _ylen, _zmin, _zmax, _zlen;
  size_t _xnum, _ynum, _znum;
};
#else
class Voxel3DMeta : public BBox3D {
public:
  bool _valid;
  size_t _num_element;
  double _xlen, _ylen, _zlen;
  size_t _xnum, _ynum, _znum;
  int _unit;
};
#endif

class Voxel {
public:
  unsigned long long _id;
  float _value;
};

class VoxelSet {
public:
  virtual ~VoxelSet() {}
  InstanceID_t _id;
  std::vector<larcv::Voxel> _voxel_v;
};

class VoxelSetArray {
public:
  virtual ~VoxelSetArray() {}
  std::vector<larcv::VoxelSet> _voxel_vv;
};

class SparseTensor3D : public VoxelSet {
public:
  virtual ~SparseTensor3D() {}
  larcv::Voxel3DMeta _meta;
};

class ClusterVoxel3D : public VoxelSetArray {
public:
  virtual ~ClusterVoxel3D() {}
  larcv::Voxel3DMeta _meta;
};

class Vertex {
public:
  virtual ~Vertex() {}
  double _x, _y, _z, _t;
};

class Particle {
public:
  InstanceID_t _id;
  unsigned short _mcst_index, _mct_index;
  ShapeType_t _shape;
  short _current_type, _interaction_type;
  unsigned int _trackid;
  int _pdg;
  double _px, _py, _pz;
  Vertex _vtx, _end_pt, _first_step, _last_step;
  double _dist_travel, _energy_init, _energy_deposit;
  std::string _process;
  larcv::BBox3D _bb3d;
  unsigned int _parent_trackid;
  int _parent_pdg;
  Vertex _parent_vtx;
  unsigned int _ancestor_trackid;
  int _ancestor_pdg;
  Vertex _ancestor_vtx;
#ifndef LARCV2_OLD
  int _num_voxels;
  InstanceID_t _parent_id, _group_id, _interaction_id;
  std::vector<InstanceID_t> _children_id;
#endif
};

class ParticleSet {
public:
  virtual ~ParticleSet() {}
  std::vector<larcv::Particle> _part_v;
};

class EventSparseTensor3D : public EventBase, public SparseTensor3D {};
class EventClusterVoxel3D : public EventBase, public ClusterVoxel3D {};
class EventParticle : public EventBase, public ParticleSet {};

}  // namespace larcv
